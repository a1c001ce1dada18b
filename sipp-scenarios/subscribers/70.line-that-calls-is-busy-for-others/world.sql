select world.chain('u70', '88670');
select world.subscriber('desk@u70.example', 'u70-customer', 'demo-secret', '886701000002');
select world.subscriber('mobile@u70.example', 'u70-customer', 'demo-secret', null);
select world.subscriber_option('desk@u70.example', 'calls_max', '1');
select world.number('886702000001', 'u70-customer', 'desk@u70.example');
select world.number('886703000001', 'u70-customer', 'mobile@u70.example');
