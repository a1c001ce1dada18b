select world.chain('u52', '88652');
select world.subscriber('desk@u52.example', 'u52-customer', 'demo-secret', null);
select world.subscriber('mobile@u52.example', 'u52-customer', 'demo-secret', null);
select world.subscriber('home@u52.example', 'u52-customer', 'demo-secret', null);
select world.user('u52-eva', 'u52-customer', 'desk@u52.example', 'mobile@u52.example', 'home@u52.example');
select world.number('886522000001', 'u52-customer', 'user:u52-eva');
