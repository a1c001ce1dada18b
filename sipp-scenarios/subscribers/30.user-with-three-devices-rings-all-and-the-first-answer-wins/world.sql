select world.chain('u30', '88630');
select world.subscriber('desk@u30.example', 'u30-customer', 'demo-secret', null);
select world.subscriber('mobile@u30.example', 'u30-customer', 'demo-secret', null);
select world.subscriber('home@u30.example', 'u30-customer', 'demo-secret', null);
select world.user('u30-eva', 'u30-customer', 'desk@u30.example', 'mobile@u30.example', 'home@u30.example');
select world.number('886302000001', 'u30-customer', 'user:u30-eva');
