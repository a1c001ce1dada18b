select world.chain('u60', '88660');
select world.subscriber('desk@u60.example', 'u60-customer', 'demo-secret', null);
select world.subscriber('mobile@u60.example', 'u60-customer', 'demo-secret', null);
select world.media_server('u60-customer', 'u60-ivr', '127.2.60.30', 5080);
select world.user('u60-eva', 'u60-customer', 'desk@u60.example', 'mobile@u60.example');
select world.user_option('u60-eva', 'ring_s', '1');
select world.forward('user:u60-eva', 'no_answer', 'media:u60-ivr/eva');
select world.number('886602000001', 'u60-customer', 'user:u60-eva');
