select world.chain('s21', '88821');
select world.carrier_of('s21-reseller', 's21-cheap', '127.1.21.1', 5080, '88821', '0.004 60/60');
