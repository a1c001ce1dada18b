select world.chain('u88', '88688');
select world.subscriber('desk@u88.example', 'u88-customer', 'demo-secret', null);
select world.callflow('u88-main', 'u88-customer', 'ring desk@u88.example', 'reject 404');
select world.number('886882000001', 'u88-customer', 'callflow:u88-main');
