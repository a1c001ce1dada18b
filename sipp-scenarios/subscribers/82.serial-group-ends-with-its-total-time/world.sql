select world.chain('u82', '88682');
select world.subscriber('one@u82.example', 'u82-customer', 'demo-secret', null);
select world.subscriber('two@u82.example', 'u82-customer', 'demo-secret', null);
select world.media_server('u82-customer', 'u82-ivr', '127.2.82.30', 5080);
select world.ring_group('u82-sales', 'u82-customer', 'serial', '{one@u82.example,two@u82.example}', member_s => 5, total_s => 1, overflow => 'media:u82-ivr/sales');
select world.number('886822000001', 'u82-customer', 'group:u82-sales');
