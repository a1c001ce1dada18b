select world.chain('u66', '88666');
select world.subscriber('desk@u66.example', 'u66-customer', 'demo-secret', null);
select world.subscriber('mobile@u66.example', 'u66-customer', 'demo-secret', null);
select world.user('u66-eva', 'u66-customer', 'desk@u66.example', 'mobile@u66.example');
select world.number('886662000001', 'u66-customer', 'user:u66-eva');
