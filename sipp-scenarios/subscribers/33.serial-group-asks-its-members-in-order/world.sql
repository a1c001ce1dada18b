select world.chain('u33', '88633');
select world.subscriber('one@u33.example', 'u33-customer', 'demo-secret', null);
select world.subscriber('two@u33.example', 'u33-customer', 'demo-secret', null);
select world.ring_group('u33-sales', 'u33-customer', 'serial', '{one@u33.example,two@u33.example}', member_s => 1);
select world.number('886332000001', 'u33-customer', 'group:u33-sales');
