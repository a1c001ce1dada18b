select world.chain('u51', '88651');
select world.subscriber('desk@u51.example', 'u51-customer', 'demo-secret', null);
select world.subscriber('mobile@u51.example', 'u51-customer', 'demo-secret', null);
select world.subscriber('home@u51.example', 'u51-customer', 'demo-secret', null);
select world.user('u51-eva', 'u51-customer', 'desk@u51.example', 'mobile@u51.example', 'home@u51.example');
select world.number('886512000001', 'u51-customer', 'user:u51-eva');
