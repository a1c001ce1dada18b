select world.chain('u67', '88667');
select world.subscriber('desk@u67.example', 'u67-customer', 'demo-secret', null);
select world.subscriber('mobile@u67.example', 'u67-customer', 'demo-secret', null);
select world.user('u67-eva', 'u67-customer', 'desk@u67.example', 'mobile@u67.example');
select world.number('886672000001', 'u67-customer', 'user:u67-eva');
