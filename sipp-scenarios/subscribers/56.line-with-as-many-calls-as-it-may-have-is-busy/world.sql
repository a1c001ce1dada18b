select world.chain('u56', '88656');
select world.subscriber('desk@u56.example', 'u56-customer', 'demo-secret', null);
select world.subscriber('mobile@u56.example', 'u56-customer', 'demo-secret', null);
select world.subscriber_option('desk@u56.example', 'calls_in_max', '1');
select world.number('886562000001', 'u56-customer', 'desk@u56.example');
select world.forward('desk@u56.example', 'busy', 'mobile@u56.example');
