select world.chain('u36', '88636');
select world.subscriber('one@u36.example', 'u36-customer', 'demo-secret', null);
select world.subscriber('two@u36.example', 'u36-customer', 'demo-secret', null);
select world.media_server('u36-customer', 'u36-ivr', '127.2.36.30', 5080);
select world.ring_group('u36-sales', 'u36-customer', 'parallel', '{one@u36.example,two@u36.example}', total_s => 1, overflow => 'media:u36-ivr/sales');
select world.number('886362000001', 'u36-customer', 'group:u36-sales');
