select world.chain('u42', '88642');
select world.subscriber('desk@u42.example', 'u42-customer', 'demo-secret', null);
select world.media_server('u42-customer', 'u42-ivr', '127.2.42.30', 5080);
select world.user('u42-eva', 'u42-customer', 'desk@u42.example');
select world.callflow('u42-main', 'u42-customer', 'ring user:u42-eva 1', 'media u42-ivr/voicemail');
select world.number('886422000001', 'u42-customer', 'callflow:u42-main');
