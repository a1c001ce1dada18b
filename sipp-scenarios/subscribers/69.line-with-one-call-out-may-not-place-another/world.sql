select world.chain('u69', '88669');
select world.subscriber('desk@u69.example', 'u69-customer', 'demo-secret', null);
select world.subscriber_option('alice@u69.example', 'calls_out_max', '1');
select world.number('886692000001', 'u69-customer', 'desk@u69.example');
