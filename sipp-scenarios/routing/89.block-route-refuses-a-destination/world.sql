select world.chain('s89', '88889');
select world.carrier_of('s89-reseller', 's89-cheap', '127.1.89.1', 5080, '88889', '0.004 60/60');
select world.rule('s89-cheap', '888890', block => true);
