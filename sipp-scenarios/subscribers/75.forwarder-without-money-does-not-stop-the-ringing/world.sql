select world.chain('u75', '88675');
select world.customer('u75-poor', 'u75-reseller', 'retail', 0);
select world.domain('poor75.example', 'u75-poor');
select world.subscriber('desk@poor75.example', 'u75-poor', 'demo-secret', null);
select world.carrier_of('u75-reseller', 'u75-cheap', '127.2.75.1', 5080, '88675', '0.004 60/60');
select world.number('886752000001', 'u75-poor', 'desk@poor75.example');
select world.forward('desk@poor75.example', 'no_answer', 'number:886750000001');
