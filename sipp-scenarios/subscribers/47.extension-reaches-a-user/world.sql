select world.chain('u47', '88647');
select world.carrier_of('u47-reseller', 'u47-carrier', '127.2.47.1', 5080, '88647', '0.004 60/60');
select world.subscriber('desk@u47.example', 'u47-customer', 'demo-secret', null);
select world.user('u47-eva', 'u47-customer', 'desk@u47.example');
select world.extension('200', 'u47-customer', 'user:u47-eva');
