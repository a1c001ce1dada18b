select world.chain('u38', '88638');
select world.subscriber('desk@u38.example', 'u38-customer', 'demo-secret', null);
select world.subscriber('mobile@u38.example', 'u38-customer', 'demo-secret', null);
select world.subscriber_option('desk@u38.example', 'ring_s', '1');
select world.number('886382000001', 'u38-customer', 'desk@u38.example');
select world.forward('desk@u38.example', 'no_answer', 'mobile@u38.example');
