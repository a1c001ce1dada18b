select world.chain('u40', '88640');
select world.subscriber('desk@u40.example', 'u40-customer', 'demo-secret', null);
select world.subscriber('mobile@u40.example', 'u40-customer', 'demo-secret', null);
select world.number('886402000001', 'u40-customer', 'desk@u40.example');
select world.forward('desk@u40.example', 'always', 'mobile@u40.example');
