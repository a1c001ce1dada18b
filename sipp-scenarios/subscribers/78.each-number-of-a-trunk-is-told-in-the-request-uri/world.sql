select world.chain('u78', '88678');
select world.subscriber('pbx@u78.example', 'u78-customer', 'demo-secret', null);
select world.subscriber_option('pbx@u78.example', 'kind', 'trunk');
select world.did('886782000001', 'pbx@u78.example');
select world.did('886782000002', 'pbx@u78.example');
