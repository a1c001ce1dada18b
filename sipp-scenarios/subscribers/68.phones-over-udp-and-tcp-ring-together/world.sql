select world.chain('u68', '88668');
select world.subscriber('desk@u68.example', 'u68-customer', 'demo-secret', null);
select world.subscriber('mobile@u68.example', 'u68-customer', 'demo-secret', null);
select world.user('u68-eva', 'u68-customer', 'desk@u68.example', 'mobile@u68.example');
select world.number('886682000001', 'u68-customer', 'user:u68-eva');
