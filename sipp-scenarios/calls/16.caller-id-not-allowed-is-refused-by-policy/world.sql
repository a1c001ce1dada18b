select world.chain('s16', '88816');
update tandem.subscriber set cli_policy = 'reject' where cli = '888161000001';
select world.carrier_of('s16-reseller', 's16-cheap', '127.1.16.1', 5080, '88816', '0.004 60/60');
