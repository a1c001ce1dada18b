select world.chain('u03', '88603');
select world.domain_option('u03.example', 'digest', 'both');
select world.subscriber_option('alice@u03.example', 'digest', 'md5');
