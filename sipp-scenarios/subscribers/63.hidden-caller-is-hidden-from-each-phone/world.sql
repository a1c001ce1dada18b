select world.chain('u63', '88663');
select world.subscriber('desk@u63.example', 'u63-customer', 'demo-secret', null);
select world.subscriber('mobile@u63.example', 'u63-customer', 'demo-secret', null);
select world.user('u63-eva', 'u63-customer', 'desk@u63.example', 'mobile@u63.example');
select world.number('886632000001', 'u63-customer', 'user:u63-eva');
