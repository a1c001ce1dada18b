select world.chain('u77', '88677');
select world.subscriber('desk@u77.example', 'u77-customer', 'demo-secret', null);
select world.media_server('u77-customer', 'u77-ivr', '127.2.77.30', 5080);
select world.user('u77-eva', 'u77-customer', 'desk@u77.example');
select world.forward('desk@u77.example', 'no_answer', 'media:u77-ivr/desk');
select world.forward('user:u77-eva', 'no_answer', 'media:u77-ivr/eva');
select world.callflow('u77-main', 'u77-customer', 'ring user:u77-eva 1');
select world.number('886772000001', 'u77-customer', 'callflow:u77-main');
