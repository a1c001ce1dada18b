select world.chain('u54', '88654');
select world.subscriber('desk@u54.example', 'u54-customer', 'demo-secret', null);
select world.subscriber('mobile@u54.example', 'u54-customer', 'demo-secret', null);
select world.user('u54-eva', 'u54-customer', 'desk@u54.example', 'mobile@u54.example');
select world.number('886542000001', 'u54-customer', 'user:u54-eva');
