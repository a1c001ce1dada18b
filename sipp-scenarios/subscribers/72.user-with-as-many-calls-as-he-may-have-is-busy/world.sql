select world.chain('u72', '88672');
select world.subscriber('desk@u72.example', 'u72-customer', 'demo-secret', null);
select world.subscriber('mobile@u72.example', 'u72-customer', 'demo-secret', null);
select world.media_server('u72-customer', 'u72-ivr', '127.2.72.30', 5080);
select world.user('u72-eva', 'u72-customer', 'desk@u72.example', 'mobile@u72.example');
select world.user_option('u72-eva', 'calls_max', '1');
select world.number('886722000001', 'u72-customer', 'user:u72-eva');
select world.forward('user:u72-eva', 'busy', 'media:u72-ivr/eva');
