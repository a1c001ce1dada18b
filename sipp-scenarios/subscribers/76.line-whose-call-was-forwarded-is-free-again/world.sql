select world.chain('u76', '88676');
select world.subscriber('desk@u76.example', 'u76-customer', 'demo-secret', null);
select world.subscriber('mobile@u76.example', 'u76-customer', 'demo-secret', null);
select world.subscriber_option('desk@u76.example', 'calls_in_max', '1');
select world.number('886762000001', 'u76-customer', 'desk@u76.example');
select world.forward('desk@u76.example', 'unreachable', 'mobile@u76.example');
