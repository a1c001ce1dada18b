select world.chain('s71', '88871');
select world.carrier_of('Tandem', 's71-cheap', '127.1.71.1', 5080, '88871', '0.004 60/60');
select world.carrier_of('Tandem', 's71-dear', '127.1.71.2', 5080, '88871', '0.006 60/60');
select world.ported('888710000001', '888715000001', 's71-dear');
