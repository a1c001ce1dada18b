select world.chain('u19', '88619');
select world.carrier_of('u19-reseller', 'u19-carrier', '127.2.19.7', 5080, '88619', '0.004 60/60');
