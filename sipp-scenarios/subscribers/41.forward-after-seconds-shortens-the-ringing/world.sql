select world.chain('u41', '88641');
select world.subscriber('desk@u41.example', 'u41-customer', 'demo-secret', null);
select world.media_server('u41-customer', 'u41-ivr', '127.2.41.30', 5080);
select world.subscriber_option('desk@u41.example', 'ring_s', '20');
select world.number('886412000001', 'u41-customer', 'desk@u41.example');
select world.forward('desk@u41.example', 'timeout', 'media:u41-ivr/desk', after_s => 1);
