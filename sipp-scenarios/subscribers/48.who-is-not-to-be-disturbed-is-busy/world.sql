select world.chain('u48', '88648');
select world.subscriber('desk@u48.example', 'u48-customer', 'demo-secret', null);
select world.subscriber('mobile@u48.example', 'u48-customer', 'demo-secret', null);
select world.subscriber_option('desk@u48.example', 'dnd', 'true');
select world.number('886482000001', 'u48-customer', 'desk@u48.example');
select world.forward('desk@u48.example', 'busy', 'mobile@u48.example');
