select world.chain('u86', '88686');
select world.subscriber('desk@u86.example', 'u86-customer', 'demo-secret', null);
select world.subscriber('mobile@u86.example', 'u86-customer', 'demo-secret', null);
select world.user('u86-eva', 'u86-customer', 'mobile@u86.example');
select world.carrier_of('u86-reseller', 'u86-cheap', '127.2.86.1', 5080, '88686', '0.004 60/60');
select world.subscriber_option('desk@u86.example', 'calls_out_max', '1');
select world.number('886862000001', 'u86-customer', 'desk@u86.example');
select world.forward('user:u86-eva', 'always', 'number:886860000001');
select world.forward('desk@u86.example', 'always', 'user:u86-eva');
