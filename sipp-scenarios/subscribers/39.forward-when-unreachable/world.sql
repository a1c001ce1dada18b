select world.chain('u39', '88639');
select world.subscriber('desk@u39.example', 'u39-customer', 'demo-secret', null);
select world.subscriber('mobile@u39.example', 'u39-customer', 'demo-secret', null);
select world.number('886392000001', 'u39-customer', 'desk@u39.example');
select world.forward('desk@u39.example', 'unreachable', 'mobile@u39.example');
