select world.chain('u14', '88614');
select world.subscriber_option('alice@u14.example', 'register_from', '{203.0.113.0/24}');
