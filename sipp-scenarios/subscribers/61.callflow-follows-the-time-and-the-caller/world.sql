select world.chain('u61', '88661');
select world.subscriber('day@u61.example', 'u61-customer', 'demo-secret', null);
select world.subscriber('night@u61.example', 'u61-customer', 'demo-secret', null);
select world.time_set('u61-customer', 'u61-east', 'Etc/GMT-14', spans => array['00:00-12:00']);
select world.time_set('u61-customer', 'u61-west', 'Etc/GMT-2', spans => array['00:00-12:00']);
select world.time_set('u61-customer', 'u61-always', spans => array['Mon-Sun']);
select world.time_set('u61-customer', 'u61-holidays', spans => array['Mon-Sun'], shut => array['01-01..12-31']);
select world.callflow('u61-main', 'u61-customer',
  'time u61-east else 4', 'time u61-west else 5', 'reject 603 Both',
  'time u61-west else 12',
  'time u61-holidays else 7', 'ring day@u61.example',
  'time u61-always else 12', 'caller 44* else 10', 'ring day@u61.example',
  'caller 88661* else 12', 'ring night@u61.example',
  'reject 603 No');
select world.number('886612000001', 'u61-customer', 'callflow:u61-main');
