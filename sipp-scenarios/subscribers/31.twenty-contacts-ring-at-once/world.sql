select world.chain('u31', '88631');
select world.subscriber('desk@u31.example', 'u31-customer', 'demo-secret', null);
select world.subscriber('mobile@u31.example', 'u31-customer', 'demo-secret', null);
select world.user('u31-eva', 'u31-customer', 'desk@u31.example', 'mobile@u31.example');
select world.number('886312000001', 'u31-customer', 'user:u31-eva');
