select world.chain('u15', '88615');
select world.subscriber_option('alice@u15.example', 'register_from', '{127.2.15.0/24}');
