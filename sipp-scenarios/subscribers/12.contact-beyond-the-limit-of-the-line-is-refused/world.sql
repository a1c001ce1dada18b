select world.chain('u12', '88612');
select world.subscriber_option('alice@u12.example', 'contacts_max', '2');
