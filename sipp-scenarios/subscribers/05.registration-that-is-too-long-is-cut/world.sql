select world.chain('u05', '88605');
select world.subscriber_option('alice@u05.example', 'expires_max_s', '300');
