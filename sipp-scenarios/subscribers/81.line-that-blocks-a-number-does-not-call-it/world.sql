select world.chain('u81', '88681');
select world.subscriber('bob@u81.example', 'u81-customer', 'demo-secret', '886811000002');
select world.subscriber('desk@u81.example', 'u81-customer', 'demo-secret', null);
select world.subscriber_option('alice@u81.example', 'blocked_out', '886812*');
select world.number('886812000001', 'u81-customer', 'desk@u81.example');
