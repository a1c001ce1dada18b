select world.chain('u50', '88650');
select world.subscriber('desk@u50.example', 'u50-customer', 'demo-secret', null);
select world.subscriber('mobile@u50.example', 'u50-customer', 'demo-secret', null);
select world.subscriber('home@u50.example', 'u50-customer', 'demo-secret', null);
select world.user('u50-eva', 'u50-customer', 'desk@u50.example', 'mobile@u50.example', 'home@u50.example');
select world.number('886502000001', 'u50-customer', 'user:u50-eva');
