select world.chain('u37', '88637');
select world.subscriber('desk@u37.example', 'u37-customer', 'demo-secret', null);
select world.subscriber('mobile@u37.example', 'u37-customer', 'demo-secret', null);
select world.number('886372000001', 'u37-customer', 'desk@u37.example');
select world.forward('desk@u37.example', 'busy', 'mobile@u37.example');
