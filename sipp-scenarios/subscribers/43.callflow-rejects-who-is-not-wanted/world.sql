select world.chain('u43', '88643');
select world.subscriber('desk@u43.example', 'u43-customer', 'demo-secret', null);
select world.callflow('u43-main', 'u43-customer', 'caller 4420* else 3', 'ring desk@u43.example', 'reject 486 Nobody Here');
select world.number('886432000001', 'u43-customer', 'callflow:u43-main');
