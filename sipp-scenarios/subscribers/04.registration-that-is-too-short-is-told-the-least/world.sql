select world.chain('u04', '88604');
select world.subscriber_option('alice@u04.example', 'expires_min_s', '120');
