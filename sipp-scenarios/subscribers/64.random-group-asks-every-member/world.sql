select world.chain('u64', '88664');
select world.subscriber('one@u64.example', 'u64-customer', 'demo-secret', null);
select world.subscriber('two@u64.example', 'u64-customer', 'demo-secret', null);
select world.media_server('u64-customer', 'u64-ivr', '127.2.64.30', 5080);
select world.ring_group('u64-sales', 'u64-customer', 'random', '{one@u64.example,two@u64.example}', member_s => 1, overflow => 'media:u64-ivr/sales');
select world.number('886642000001', 'u64-customer', 'group:u64-sales');
