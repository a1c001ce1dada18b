select world.chain('u49', '88649');
select world.subscriber('desk@u49.example', 'u49-customer', 'demo-secret', null);
select world.subscriber('mobile@u49.example', 'u49-customer', 'demo-secret', null);
select world.number('886492000001', 'u49-customer', 'desk@u49.example');
select world.forward('desk@u49.example', 'always', 'mobile@u49.example');
