select world.chain('u46', '88646');
select world.subscriber('pbx@u46.example', 'u46-customer', 'demo-secret', null);
select world.subscriber_option('pbx@u46.example', 'kind', 'ip_trunk');
select world.place('pbx@u46.example', '127.2.46.13', 5080, priority => 2, weight => 1000);
select world.place('pbx@u46.example', '127.2.46.12', 5080, priority => 1, weight => 0);
select world.place('pbx@u46.example', '127.2.46.11', 5080, priority => 1, weight => 10);
select world.did('886462000001', 'pbx@u46.example');
