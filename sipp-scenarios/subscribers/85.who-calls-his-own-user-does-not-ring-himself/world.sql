select world.chain('u85', '88685');
select world.subscriber('desk@u85.example', 'u85-customer', 'demo-secret', null);
select world.user('u85-eva', 'u85-customer', 'alice@u85.example', 'desk@u85.example');
select world.number('886852000001', 'u85-customer', 'user:u85-eva');
