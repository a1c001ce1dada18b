select world.chain('s118', '88918');
select world.carrier_of('s118-reseller', 's118-cheap', '127.1.118.1', 5080, '88918', '0.004 60/60');
select world.domain_option('s118.example', 'rewrite_set', world.rewrite('s118-reseller', 's118-of-domain', 'callee_in', '^0', '4999')::text);
select world.subscriber_option('alice@s118.example', 'rewrite_set', world.rewrite('s118-reseller', 's118-of-line', 'callee_in', '^0([0-9]{7})', '88918\1')::text);
