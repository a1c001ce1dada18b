select world.chain('s123', '88923');
select world.carrier_of('s123-reseller', 's123-cheap', '127.1.123.1', 5080, '88923', '0.004 60/60');
select world.carrier_of('s123-reseller', 's123-mid', '127.1.123.2', 5080, '88923', '0.005 60/60');
select world.carrier_of('s123-reseller', 's123-dear', '127.1.123.3', 5080, '88923', '0.006 60/60');
select world.no_rules('s123-cheap'), world.no_rules('s123-mid');
select world.rule('s123-cheap', '88923', caller_pattern => '@other\.example'), world.rule('s123-mid', '88923', callee_pattern => '^sip:889239');
