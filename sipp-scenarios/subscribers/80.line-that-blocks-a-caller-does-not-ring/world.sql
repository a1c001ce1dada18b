select world.chain('u80', '88680');
select world.subscriber('bob@u80.example', 'u80-customer', 'demo-secret', '886801000002');
select world.subscriber('desk@u80.example', 'u80-customer', 'demo-secret', null);
select world.subscriber_option('desk@u80.example', 'blocked_in', '886801000001');
select world.number('886802000001', 'u80-customer', 'desk@u80.example');
