select world.chain('u65', '88665');
select world.subscriber('desk@u65.example', 'u65-customer', 'demo-secret', null);
select world.subscriber('mobile@u65.example', 'u65-customer', 'demo-secret', null);
select world.media_server('u65-customer', 'u65-ivr', '127.2.65.30', 5080);
select world.number('886652000001', 'u65-customer', 'desk@u65.example');
select world.forward('desk@u65.example', 'busy', 'mobile@u65.example');
select world.forward('mobile@u65.example', 'unreachable', 'media:u65-ivr/last');
