select world.chain('u71', '88671');
select world.subscriber('desk@u71.example', 'u71-customer', 'demo-secret', '886711000002');
select world.subscriber('mobile@u71.example', 'u71-customer', 'demo-secret', null);
select world.subscriber_option('desk@u71.example', 'calls_max', '1');
select world.number('886712000001', 'u71-customer', 'desk@u71.example');
select world.number('886713000001', 'u71-customer', 'mobile@u71.example');
