select world.chain('u83', '88683');
select world.subscriber('desk@u83.example', 'u83-customer', 'demo-secret', null);
select world.carrier_of('u83-reseller', 'u83-cheap', '127.2.83.1', 5080, '88683', '0.004 60/60');
select world.subscriber_option('desk@u83.example', 'calls_out_max', '1');
select world.number('886832000001', 'u83-customer', 'desk@u83.example');
select world.forward('desk@u83.example', 'always', 'number:886830000001');
